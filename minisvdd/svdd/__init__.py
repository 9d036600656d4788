"""Deep SVDD: the estimator, the sphere (centre and radius), its autoencoder, and saved models."""
