"""Tables of ADBench, one class: `TabularMemAE` beside ten detectors of PyOD, and training rows that are not clean."""
