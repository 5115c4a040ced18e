#!/bin/sh
# The GPU's tables and growth in docs/performance.md, ours beside gsplat in the same processes.
#
#     benchmarks/gpu_table.sh OUT [MODEL]
#
# OUT is a folder for four JSON files and two plots; MODEL a mesh to measure at 128x128 by the paper's converter (the
# published rows are of cow.obj). VOGE names the program where it is not installed: VOGE="python3 -m voge_cli".
set -u
out=${1:?usage: benchmarks/gpu_table.sh OUT [MODEL]}
model=${2:+$2@128}
bench="${VOGE:-voge} bench --device cuda --peer gsplat,gsplat-ut --overwrite"
mkdir -p "$out"
failed=0

# gsplat compiles itself for this GPU alone at its first use.
: "${TORCH_CUDA_ARCH_LIST:=$(python3 -c 'import torch; print("%d.%d" % torch.cuda.get_device_capability())')}"
export TORCH_CUDA_ARCH_LIST

# shellcheck disable=SC2086
$bench $model cube:29@256 cube:58@512 cube:129@1024 cube:289@1024 cube:289@128 cube:29@256x256x64 \
    --aggregation exact,paper --repeat 20 convert=paper -o "$out/table.json" || failed=1
$bench cube:29 --sizes 128,256,512,1024,2048 -o "$out/pixels.json" || failed=1
$bench --intervals 13,29,58,129,289,913 --sizes 512 -o "$out/counts.json" || failed=1
$bench cube:913@1920x1080 --aggregation exact,paper -o "$out/large.json" || failed=1
for kind in svg png; do
    ${VOGE:-voge} bench --from "$out/counts.json,$out/pixels.json" --plot "$out/growth.$kind" --overwrite -q \
        > /dev/null || failed=1
done
exit $failed
