"""Which tests belong to which file of the package, the quickest and nearest first (`python_mutants.py`)."""

_CONVOLUTION = ["ops/test_conv2d.py", "ops/test_winograd.py", "test_golden.py"]

_TRAINED = ["test_autoencoder.py", "test_svdd.py", "test_classifier.py", "test_checkpoint.py"]

TESTS: dict[str, list[str]] = {
    "ops/activations.py": ["ops/test_activations.py", "test_workspace.py"],
    "ops/adam.py": ["ops/test_adam.py", "test_optim.py", "test_recorded.py"],
    "ops/batchnorm.py": ["ops/test_batchnorm.py", "ops/test_norm_pool.py", "test_fusion.py", "kernels/test_rungs.py"],
    "ops/contrast.py": ["ops/test_contrast.py", "test_preprocessing.py"],
    "ops/conv2d.py": [*_CONVOLUTION],
    "ops/conv2d_launch.py": ["ops/test_conv2d_launch.py", *_CONVOLUTION, "test_fusion.py", "kernels/test_rungs.py"],
    "ops/fused.py": ["test_fusion.py", "test_golden.py", "kernels/test_rungs.py"],
    "ops/layout.py": ["ops/test_layout.py", "ops/test_activations.py", "ops/test_pooling.py", "test_threads.py"],
    "ops/linear.py": ["ops/test_linear.py", "test_threads.py", "test_golden.py", "kernels/test_rungs.py"],
    "ops/losses.py": ["ops/test_losses.py", "test_golden.py"],
    "ops/norm_pool.py": ["ops/test_norm_pool.py", "test_fusion.py", "test_golden.py"],
    "ops/pooling.py": ["ops/test_pooling.py", "kernels/test_rungs.py"],
    "ops/steps.py": ["test_recorded.py"],
    "ops/strips.py": [*_CONVOLUTION, "test_threads.py"],
    "ops/upsample.py": ["ops/test_upsample.py"],
    "ops/winograd.py": ["ops/test_winograd.py", *_CONVOLUTION[:1], "test_threads.py"],
    "layers.py": ["test_layers.py", "test_collapse.py", "test_golden.py"],
    "losses.py": ["ops/test_losses.py", "test_svdd.py", "test_recorded.py"],
    "optim.py": ["test_optim.py", "test_recorded.py", "ops/test_adam.py"],
    "flat.py": ["test_recorded.py", "ops/test_adam.py", "test_optim.py"],
    "init.py": ["test_optim.py", "test_layers.py"],
    "fusion.py": ["test_fusion.py", "test_golden.py"],
    "training.py": ["test_optim.py", "test_numbers.py", "test_recorded.py", *_TRAINED],
    "divergence.py": ["test_numbers.py"],
    "svdd.py": ["test_svdd.py", "test_center.py", "test_collapse.py"],
    "center.py": ["test_center.py", "test_svdd.py"],
    "radius.py": ["test_radius.py", "test_svdd.py"],
    "collapse.py": ["test_collapse.py", "test_svdd.py"],
    "preprocessing.py": ["test_preprocessing.py", "test_storage.py", "test_svdd.py"],
    "batches.py": ["test_center.py", "test_optim.py", "test_workspace.py", "test_svdd.py"],
    "workspace.py": ["test_workspace.py", "test_threads.py", "test_large.py"],
    "threads.py": ["test_threads.py"],
    "checkpoint.py": ["test_checkpoint.py"],
    "detector.py": ["test_svdd.py", "test_autoencoder.py", "test_numbers.py", "test_sklearn.py"],
    "autoencoder.py": ["test_autoencoder.py", "test_svdd.py"],
    "files.py": ["test_storage.py", "test_interruptions.py"],
}
