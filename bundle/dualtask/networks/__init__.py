"""The dual-task network: a shared backbone with a classification and a regression head."""

from dualtask.networks.all_heads import AllHeads
from dualtask.networks.dual_task_net import DualTaskNet
from dualtask.networks.dynunet import DynUNetBackbone
from dualtask.networks.residual_unet import ResidualUNet
from dualtask.networks.segresnet import SegResNetBackbone
from dualtask.networks.weights import load_weights

__all__ = ["AllHeads", "DualTaskNet", "DynUNetBackbone", "ResidualUNet", "SegResNetBackbone", "load_weights"]
