"""ITNet's plugin for point clouds; `itnet_pointcloud.plugin` declares its components."""

__version__ = "0.1.0"
