"""Tables 2 and 4: frames of UCSD Ped2, the methods that the paper ran, controls, and ours."""
