"""The shallow baselines: against scikit-learn's own, against SVDD's dual solved with SciPy, and as detectors."""

import warnings

import numpy as np
import pytest
from scipy.optimize import LinearConstraint, minimize
from sklearn.metrics import roc_auc_score
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.neighbors import KernelDensity as SklearnDensity
from sklearn.utils.estimator_checks import check_estimator
from trainer_properties import digits

from minisvdd import load_dataset
from minisvdd.rivals.density import BANDWIDTHS, KernelDensity
from minisvdd.rivals.forest import IsolationForest
from minisvdd.rivals.svm import GAMMAS, OneClassSVM
from minisvdd.svdd.storage import save_model

pytestmark = pytest.mark.slow

ALL = (OneClassSVM, KernelDensity, IsolationForest)


def solve_svdd(K, nu):
    """SVDD's dual for a kernel matrix K: max sum_i a_i K_ii - a' K a, sum a_i = 1, 0 <= a_i <= 1/(nu n)."""
    n = len(K)
    done = minimize(
        lambda a: (a @ K @ a - a @ np.diag(K), 2 * K @ a - np.diag(K)),
        np.full(n, 1 / n),
        jac=True,
        method="SLSQP",
        bounds=[(0, 1 / (nu * n))] * n,
        constraints=[LinearConstraint(np.ones((1, n)), 1, 1)],
        options={"ftol": 1e-14, "maxiter": 1000},
    )
    assert done.success, done.message
    return done.x


def test_oc_svm_is_svdd_with_a_gaussian_kernel():
    """The same multipliers, hence the same ranking and the same samples outside."""
    rng, nu, gamma = np.random.default_rng(0), 0.2, 0.3
    train, test = rng.normal(size=(60, 2)), 2 * rng.normal(size=(200, 2))
    model = OneClassSVM(gamma=gamma, nu=nu, threshold="nu").fit(train)
    model.svm_.set_params(tol=1e-10).fit(model.components(train))

    K = rbf_kernel(train, gamma=gamma)
    a = solve_svdd(K, nu)
    squared_distance = 1 - 2 * rbf_kernel(test, train, gamma=gamma) @ a + a @ K @ a
    on_sphere = (a > 1e-4) & (a < 1 / (nu * len(train)) - 1e-4)
    radius_squared = np.mean((1 - 2 * K @ a + a @ K @ a)[on_sphere])

    multipliers = np.zeros(len(train))
    multipliers[model.svm_.support_] = model.svm_.dual_coef_[0] / (nu * len(train))
    np.testing.assert_allclose(multipliers, a, atol=1e-5)
    np.testing.assert_array_equal(np.argsort(model.anomaly_score(test)), np.argsort(squared_distance))
    np.testing.assert_array_equal(model.predict(test) == -1, squared_distance > radius_squared + 1e-6)


@pytest.mark.parametrize("nu", [1, 1.0, np.nextafter(1, 0)])
def test_for_nu_of_one_all_samples_carry_the_same_weight(nu):
    """The score is the mean kernel up to a factor, the limit of nu -> 1; the threshold is that of the largest nu."""
    rng = np.random.default_rng(0)
    train, test = rng.normal(size=(60, 2)), 2 * rng.normal(size=(40, 2))
    model = OneClassSVM(gamma=0.3, nu=nu, threshold="nu").fit(train)
    scores = model.anomaly_score(test)
    kernel = rbf_kernel(model.components(test), model.components(train), gamma=0.3)
    np.testing.assert_allclose(scores, -len(train) * kernel.mean(axis=1), rtol=1e-12)
    near = OneClassSVM(gamma=0.3, nu=1 - 1e-7, threshold="nu").fit(train)
    np.testing.assert_allclose(near.anomaly_score(test), scores, atol=1e-4)
    assert model.offset_ == pytest.approx(near.offset_, rel=1e-4)
    assert (model.predict(train) == 1).sum() == 1
    assert set(OneClassSVM(nu=nu).fit(train).predict(test)) == {-1, 1}
    again = model.set_params(nu=0.5).fit(train)
    assert again.samples_ is None
    assert again.svm_.nu == 0.5


def test_svm_scores_are_the_solver_s_and_its_threshold_up_to_the_solver_s_tolerance():
    split = digits()
    model = OneClassSVM(gamma=0.5, nu=0.1, preprocessing="gcn-l1", threshold="nu").fit(split.train)
    Z = model.components(split.test)
    np.testing.assert_allclose(model.score_samples(split.test), model.svm_.score_samples(Z), rtol=1e-9)
    assert model.offset_ == pytest.approx(model.svm_.offset_[0], rel=2e-3)
    # of the training samples, the solver leaves more than nu outside: its own threshold lies among those on the sphere
    outside = (model.predict(split.train) == -1).sum()
    assert outside <= 0.1 * len(split.train) < (model.svm_.predict(model.components(split.train)) == -1).sum()


def test_density_is_scikit_learn_s():
    split = digits()
    model = KernelDensity(bandwidth=1.5, preprocessing="gcn-l1", threshold="nu").fit(split.train)
    expected = SklearnDensity(bandwidth=1.5).fit(model.components(split.train))
    np.testing.assert_allclose(
        model.score_samples(split.test), expected.score_samples(model.components(split.test)), rtol=1e-9
    )


@pytest.mark.parametrize("kernel", ["gaussian", "exponential"])
def test_a_density_integrates_to_one_whatever_its_kernel(kernel):
    """In three dimensions, against scikit-learn's trees; on a line, by a sum over a fine grid."""
    rng = np.random.default_rng(3)
    train, test = rng.normal(size=(40, 3)), 3 * rng.normal(size=(25, 3))
    model = KernelDensity(bandwidth=0.7, kernel=kernel, pca=False, threshold="nu").fit(train)
    expected = SklearnDensity(bandwidth=0.7, kernel=kernel).fit(model.components(train))
    np.testing.assert_allclose(model.score_samples(test), expected.score_samples(model.components(test)), rtol=1e-9)
    line = np.linspace(-40, 40, 20001)[:, None]
    model = KernelDensity(bandwidth=0.7, kernel=kernel, pca=False, threshold="nu").fit(train[:, :1])
    assert np.exp(model.score_samples(line)).sum() * (line[1, 0] - line[0, 0]) == pytest.approx(1, abs=1e-4)


def test_the_largest_distance_gives_gamma_and_bandwidth():
    """Of samples with two far ones: widest kernels; so wide an exponential kernel ranks by the mean distance."""
    rng = np.random.default_rng(4)
    train, test = rng.normal(size=(1500, 5)), 2 * rng.normal(size=(60, 5))
    train[0], train[-1] = 30, -30
    largest = 5 * 60.0**2
    svm = OneClassSVM("largest", pca=False, threshold="nu").fit(train)
    assert svm.gamma_ == pytest.approx(1 / largest)
    density = KernelDensity("largest", kernel="exponential", pca=False, threshold="nu").fit(train)
    assert density.bandwidth_ == pytest.approx(largest)
    mean = np.linalg.norm(test[:, None] - train, axis=2).mean(axis=1)
    np.testing.assert_array_equal(np.argsort(density.anomaly_score(test)), np.argsort(mean))
    assert OneClassSVM("largest", threshold="nu").fit(np.ones((30, 2))).gamma_ == 1


@pytest.mark.parametrize("method", ALL)
def test_without_pca_a_method_sees_all_features(method):
    split = digits()
    model = method(pca=False, preprocessing="min-max", threshold="nu").fit(split.train)
    assert model.pca_ is None
    pixels = model.preprocessing_.transform(split.test).reshape(len(split.test), -1)
    np.testing.assert_array_equal(model.components(split.test), pixels)
    np.testing.assert_array_equal(model.anomaly_score(split.test), model.score_components(pixels.astype(float)))
    assert roc_auc_score(split.is_anomaly, model.anomaly_score(split.test)) > 0.85


def test_the_grids_are_the_paper_s():
    assert [np.log2(gamma) for gamma in GAMMAS] == list(range(-10, 0))
    assert [np.log2(h) for h in BANDWIDTHS] == pytest.approx(np.arange(0.5, 5.5, 0.5))


def test_bandwidth_is_the_one_of_cross_validation():
    from sklearn.model_selection import GridSearchCV, KFold

    X = np.random.default_rng(1).normal(0, 3, size=(100, 2))
    model = KernelDensity(bandwidths=(0.1, 1.0, 10.0), threshold="nu").fit(X)
    search = GridSearchCV(SklearnDensity(), {"bandwidth": [0.1, 1.0, 10.0]}, cv=KFold(5)).fit(model.components(X))
    assert model.bandwidth_ == search.best_params_["bandwidth"] == 1.0
    np.testing.assert_allclose(model.log_likelihoods_ / 5, search.cv_results_["mean_test_score"], rtol=1e-9)


@pytest.mark.parametrize("method", ALL)
def test_far_better_than_chance_on_digits(method):
    data = load_dataset("digits")
    for name in ("0", "3", "8"):
        split = data.one_class(name)
        model = method(preprocessing="gcn-l1").fit(split.train)
        assert roc_auc_score(split.is_anomaly, model.anomaly_score(split.test)) > 0.85
        assert 0.95 <= model.pca_.explained_variance_ratio_.sum() < 1


@pytest.mark.parametrize("method", ALL)
def test_images_are_their_pixels(method):
    split = digits()
    flat = split.train.reshape(len(split.train), -1)
    images = method().fit(split.train).anomaly_score(split.test)
    np.testing.assert_array_equal(images, method().fit(flat).anomaly_score(split.test.reshape(-1, 64)))


@pytest.mark.parametrize("method", ALL)
def test_threshold_leaves_a_fraction_nu_outside(method):
    train = digits().train
    for nu in (0.05, 0.3):
        outside = np.mean(method(nu=nu, threshold="nu").fit(train).predict(train) == -1)
        assert nu - 1.5 / len(train) <= outside <= nu


def test_the_sample_on_the_threshold_is_inside_also_by_itself():
    """Alone, its distances are summed in another order than among all samples when the threshold was set."""
    train = digits().train
    for left_out in range(1, len(train)):
        model = KernelDensity(bandwidth=1.5, nu=left_out / len(train), threshold="nu").fit(train)
        last = np.argsort(model.score_samples(train))[left_out]
        assert model.predict(train[last : last + 1]) == 1


def test_trees_see_samples_of_the_size_asked_for():
    X = np.random.default_rng(0).normal(size=(300, 2))
    assert IsolationForest(n_trees=3, threshold="nu").fit(X).forest_.max_samples_ == 256
    assert IsolationForest(n_trees=3, subsample=20, threshold="nu").fit(X).forest_.max_samples_ == 20


def test_every_random_state_grows_another_forest():
    X = np.random.default_rng(0).normal(size=(60, 4))
    forests = [IsolationForest(n_trees=5, threshold="nu", random_state=seed).fit(X) for seed in range(8)]
    assert len({forest.anomaly_score(X).tobytes() for forest in forests}) == 8


@pytest.mark.parametrize("method", ALL)
def test_one_seed_one_result_and_data_left_alone(method):
    split = digits()
    copy = split.train.copy()
    first, second = (method().fit(split.train).anomaly_score(split.test) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(copy, split.train)
    if method is IsolationForest:
        assert not np.array_equal(first, method(random_state=1).fit(split.train).anomaly_score(split.test))


def test_one_far_sample_among_those_held_out_moves_no_threshold(rng):
    """Of its density, 10^11 below all others, no part may be added to the scores of those."""
    X, anomalies = rng.normal(size=(300, 3)), rng.normal(size=(200, 3)) + 5
    X[np.random.default_rng(0).permutation(300)[:59]] *= 0.5  # held out, and in the middle
    far = X.copy()
    far[np.random.default_rng(0).permutation(300)[0]] = 1e6
    models = [KernelDensity().fit(samples) for samples in (X, far)]
    scores = np.sort(models[1].holdout_scores_)
    assert scores[-1] > 1e9 > scores[-2]
    assert models[1].threshold_ <= 1.001 * scores[-2]
    assert (models[1].predict(anomalies) == -1).all()
    assert models[1].p_value(anomalies).max() < 0.05


def test_gamma_on_a_labelled_hold_out_is_the_best_of_the_grid():
    split = digits("8")
    held = np.random.default_rng(0).permutation(len(split.test))[:200]
    X, is_anomaly = split.test[held], split.is_anomaly[held]
    chosen = OneClassSVM(preprocessing="gcn-l1").fit_on_hold_out(split.train, X, is_anomaly)
    auc = {
        gamma: roc_auc_score(is_anomaly, OneClassSVM(gamma, preprocessing="gcn-l1").fit(split.train).anomaly_score(X))
        for gamma in GAMMAS
    }
    assert chosen.gamma_ == max(auc, key=auc.get)
    assert roc_auc_score(is_anomaly, chosen.anomaly_score(X)) == max(auc.values())
    with pytest.raises(ValueError, match="is_anomaly"):
        OneClassSVM().fit_on_hold_out(split.train, X, np.ones(200, bool))
    with pytest.raises(ValueError, match=r"is_anomaly\[0\] is (-1|2): expected True or 1 for an anomaly"):
        OneClassSVM().fit_on_hold_out(split.train, X, np.where(is_anomaly, -1, 2))
    with pytest.raises(ValueError, match="is_anomaly has shape"):
        OneClassSVM().fit_on_hold_out(split.train, X, is_anomaly[:-1])
    for gammas in ((), None, [0.5, 0], ["a"], [np.inf]):
        with pytest.raises(ValueError, match="gammas"):
            OneClassSVM(gammas=gammas).fit_on_hold_out(split.train, X, is_anomaly)


def test_a_choice_of_gamma_keeps_nothing_of_an_earlier_fit(rng):
    """scikit-learn notes a data frame's columns, which arrays have not; pandas is not needed to hold that."""
    X, held = rng.normal(size=(60, 4)), np.concatenate([rng.normal(size=(20, 4)), rng.normal(size=(20, 4)) + 3])
    is_anomaly = np.arange(40) >= 20
    model = OneClassSVM(threshold="nu").fit(X)
    model.feature_names_in_ = np.array(list("abcd"), dtype=object)
    model.fit_on_hold_out(X, held, is_anomaly)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = model.anomaly_score(held)
    assert not hasattr(model, "feature_names_in_")
    np.testing.assert_array_equal(scores, OneClassSVM(model.gamma_, threshold="nu").fit(X).anomaly_score(held))
    images = rng.random((60, 1, 4, 4))
    model.fit_on_hold_out(images, images[:40], is_anomaly)
    assert not hasattr(model, "n_features_in_")
    assert model.input_shape_ == (1, 4, 4)


@pytest.mark.parametrize("kernel", ["gaussian", "exponential"])
@pytest.mark.parametrize("bandwidth", [1e-100, 1e100])
def test_every_bandwidth_gives_finite_scores_of_samples_as_large_as_float32_holds(bandwidth, kernel):
    X = np.random.default_rng(0).uniform(-3e38, 3e38, size=(30, 3))
    model = KernelDensity(bandwidth, kernel=kernel, pca=False, threshold="nu").fit(X)
    assert np.isfinite(model.anomaly_score(-X)).all()


@pytest.mark.parametrize("method", ALL)
def test_arguments_for_the_next_fit_change_no_scores(method, rng):
    X = rng.normal(size=(50, 3))
    model = method(threshold="nu").fit(X)
    scores = model.anomaly_score(X)
    later = {"nu": 0.5, "preprocessing": "standardize", "pca": False, "kernel": "exponential", "bandwidth": 3.0}
    later |= {"gamma": 2.0, "n_trees": 2, "subsample": 3, "threshold": "holdout"}
    known = model.get_params()
    model.set_params(**{name: value for name, value in later.items() if name in known})
    np.testing.assert_array_equal(model.anomaly_score(X), scores)


def test_gamma_without_labels_is_the_inverse_of_the_median_squared_distance():
    X = np.array([[0.0], [1.0], [3.0]])  # squared distances 1, 4, 9
    assert OneClassSVM(threshold="nu").fit(X).gamma_ == pytest.approx(1 / 4)
    assert OneClassSVM(threshold="nu").fit(np.ones((5, 2))).gamma_ == 1.0


@pytest.mark.filterwarnings("ignore::minisvdd.ThresholdWarning")  # scikit-learn's checks have 10 samples
@pytest.mark.parametrize("method", ALL)
def test_scikit_learn_contract(method):
    options = {"n_trees": 10} if method is IsolationForest else {}
    assert len(check_estimator(method(**options), on_skip=None)) > 30


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (OneClassSVM(gamma=0), "gamma=0"),
        (OneClassSVM(nu=0), "nu=0"),
        (OneClassSVM(preprocessing="pca"), "preprocessing='pca'"),
        (OneClassSVM(gamma="widest"), "gamma='widest'"),
        (OneClassSVM(pca=0.95), "pca=0.95"),
        (KernelDensity(kernel="linear"), "kernel='linear'"),
        (KernelDensity(bandwidth=-1), "bandwidth=-1"),
        (KernelDensity(bandwidth=np.inf), "bandwidth=inf"),
        (KernelDensity(bandwidth=1e200), r"bandwidth=1e\+200"),
        (KernelDensity(bandwidths=()), "bandwidths"),
        (KernelDensity(bandwidths=None), "bandwidths=None: expected a sequence of numbers"),
        (KernelDensity(bandwidths=[0.5, 0]), r"bandwidths\[1\]=0: expected a number in \[1e-100, 1e\+100\]"),
        (KernelDensity(bandwidths=[-1]), r"bandwidths\[0\]=-1: "),
        (KernelDensity(bandwidths=["a"]), r"bandwidths\[0\]='a': "),
        (KernelDensity(bandwidths=[1.0, np.inf]), r"bandwidths\[1\]=inf: "),
        (OneClassSVM(gamma=np.inf), "gamma=inf"),
        (KernelDensity(nu=2), "nu=2"),
        (IsolationForest(n_trees=0), "n_trees=0"),
        (IsolationForest(subsample=1.5), "subsample=1.5"),
        (IsolationForest(random_state=-1), "random_state=-1"),
    ],
)
def test_bad_arguments_are_named(model, words):
    with pytest.raises(ValueError, match=words) as caught:
        model.fit(digits().train)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("method", ALL)
def test_bad_samples(method):
    train = digits().train
    with_nan = train.copy()
    with_nan[3, 0, 2, 1] = np.nan
    with pytest.raises(ValueError, match=r"\(3, 0, 2, 1\)"):
        method().fit(with_nan)
    with pytest.raises(ValueError, match="at least 2"):
        method().fit(train[:1])
    with pytest.raises(ValueError, match=r"\(2, 1, 9, 9\)"):
        method().fit(train).anomaly_score(np.zeros((2, 1, 9, 9)))
    assert not hasattr(method(), "save")
    with pytest.raises(ValueError, match=f"{method.__name__} cannot be saved"):
        save_model(method(), "model.npz")
