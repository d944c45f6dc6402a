"""Many models: one detector for each machine, shop or camera, in one Parquet file, a shelf."""
