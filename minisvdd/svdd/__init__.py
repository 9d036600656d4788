"""Deep SVDD: the estimator, the sphere (centre and radius), its autoencoder, and saved models.

`plain` has the whole method on one screen.
"""

from typing import TYPE_CHECKING

from ..lazy import lazy_names

if TYPE_CHECKING:
    from .autoencoder import Autoencoder as Autoencoder
    from .center import collect_statistics as collect_statistics
    from .center import mean_output as mean_output
    from .center import move_from_zero as move_from_zero
    from .conformal import conformal_threshold as conformal_threshold
    from .conformal import false_alarm_interval as false_alarm_interval
    from .conformal import p_values as p_values
    from .detector import Detector as Detector
    from .detector import TrainedDetector as TrainedDetector
    from .plain import anomaly_score as anomaly_score
    from .plain import deep_svdd as deep_svdd
    from .preprocessing import make_preprocessing as make_preprocessing
    from .radius import authors_radius_squared as authors_radius_squared
    from .radius import exact_radius_squared as exact_radius_squared
    from .radius import quantile_radius_squared as quantile_radius_squared
    from .radius import soft_boundary_objective as soft_boundary_objective
    from .storage import load_model as load_model
    from .storage import save_model as save_model
    from .svdd import DeepSVDD as DeepSVDD

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        ".autoencoder": "Autoencoder",
        ".center": "collect_statistics mean_output move_from_zero",
        ".conformal": "conformal_threshold false_alarm_interval p_values",
        ".detector": "Detector TrainedDetector",
        ".plain": "anomaly_score deep_svdd",
        ".preprocessing": "make_preprocessing",
        ".radius": "authors_radius_squared exact_radius_squared quantile_radius_squared soft_boundary_objective",
        ".storage": "load_model save_model",
        ".svdd": "DeepSVDD",
    },
)
