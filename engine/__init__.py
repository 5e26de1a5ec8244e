"""The deciding machine: chain readers, detection, and the projections that rebuild its state."""
