"""Training, quantisation and export: everything that needs torch."""

import os

# Spinning threads that wait for one another cost a factor of ten as soon as another process (a
# second rank, ParaView itself) wants a core. OpenMP reads this when torch loads it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
