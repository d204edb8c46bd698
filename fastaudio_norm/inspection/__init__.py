"""Look at the clips before training: levels, clipping, silence, bandwidth, the same audio twice."""
