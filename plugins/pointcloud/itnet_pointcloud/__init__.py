"""ITNet's plugin for point clouds; its components are declared in `itnet_pointcloud.plugin`."""

__version__ = "0.1.0"
