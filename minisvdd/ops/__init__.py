"""Operations on plain arrays: one file each, the derivation above the lines that compute it.

Every operation takes the backend first (it decides where the arithmetic runs), then its arrays in a fixed order:
`grad_output` before the saved input before the parameters. Shapes are (N, C, H, W) for images and (N, D) for features.

**Memory order.** Results of the NumPy lines have those shapes, but lie in memory with the batch last: (C, H, W, N).
A slice over channels, rows or columns is then a long contiguous run, which is what NumPy copies and adds fastest, and
a whole convolution becomes one matrix product per block of rows, without a single transposed copy. It is only a matter
of strides: `to_batch_last` and `from_batch_last` are views, and every operation accepts arrays in any order.
"""
