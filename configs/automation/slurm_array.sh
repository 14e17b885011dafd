#!/bin/sh
# A task of a SLURM array for each share. The folder from which you submit has bureau.yaml, .env and
# the exports; all nodes see it, and file locks work between them. Activate the environment of
# asyncreport before you submit: SLURM passes its PATH on.
#
#   shares=$(sbatch --parsable slurm_array.sh)
#   sbatch --dependency=afterok:$shares --kill-on-invalid-dep=yes --wrap 'asyncreport merge bureau.yaml'
#
# Leave the merge out if the paths of the job contain {connection}. After exit code 1, submit the
# failed shares again: `sbatch --array=3,7 slurm_array.sh`.
#SBATCH --job-name=asyncreport
#SBATCH --array=1-16
#SBATCH --cpus-per-task=1
#SBATCH --mem=1G
#SBATCH --time=06:00:00
# SLURM stops a task with SIGTERM; what is finished by then is kept.
set -eu
# As in --array above. SLURM_ARRAY_TASK_COUNT is smaller if only some shares are submitted again.
SHARES=16
exec asyncreport run --log-format json bureau.yaml --connections "$SLURM_ARRAY_TASK_ID/$SHARES"
