"""`run --cluster`: each connection of a job is a task of Dask. Only this package imports Dask."""
