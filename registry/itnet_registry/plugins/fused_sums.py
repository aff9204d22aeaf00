"""The distribution whose evaluator computes the MLP kernel fastest on CPUs, for hints where it is absent."""

NATIVE = "itnet-native"
GAIN = "It computes the MLP kernel on CPUs several times faster"
