from hypothesis import settings

# Timings are noisy on shared machines, and the first call of a test may import a large package.
settings.register_profile("legor1", deadline=None)
settings.load_profile("legor1")
