"""What the paper compares Deep SVDD with: OC-SVM, kernel density, isolation forest, AnoGAN."""
