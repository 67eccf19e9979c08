#!/bin/sh
# Slurm: a survey in parts, one array task for each part.
#
#     SRC=/mirror/pool OUT=/shared/survey TRUST=vendor.pem sbatch --array=0-511 survey-slurm.sh
#
# The number of parts is that of the array, which must begin at 0. SRC and OUT may be URLs (s3://). Submit it again
# after a failure: finished parts are not made again. %50 after the range runs at most 50 tasks at a time.
#SBATCH --job-name=elfsig-survey
#SBATCH --cpus-per-task=1
#SBATCH --mem=6G
#SBATCH --requeue
set -eu
part=${SLURM_ARRAY_TASK_ID:?run this with sbatch --array=0-N}
parts=$((SLURM_ARRAY_TASK_MAX + 1))
[ "${SLURM_ARRAY_TASK_MIN:-0}" = 0 ] && [ "${SLURM_ARRAY_TASK_STEP:-1}" = 1 ] ||
    { echo "the array must be 0-N, in steps of 1" >&2; exit 2; }

# The exit code of survey is about the modules. That of --check is about this part: 0 where it is there and whole.
elfsig survey "$SRC" --parts "$parts" --part "$part" -o "$OUT" ${TRUST:+--trust "$TRUST"} -j1 || [ $? -ne 2 ] || exit 2
exec elfsig survey --check --part "$part" -o "$OUT"
