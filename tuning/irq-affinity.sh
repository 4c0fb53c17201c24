#!/usr/bin/env bash
# Moves device interrupts off the hot cores, and back.
#
#   sudo irq-affinity.sh apply CORES [--dry-run]    CORES as in 2-3,6
#   sudo irq-affinity.sh undo [--dry-run]           puts back what apply found
#
# An interrupt that cannot be moved (per core, or managed by its driver) is named and left; for managed ones boot with
# isolcpus=managed_irq. Not lasting: run it at boot, after the drivers. Stop irqbalance first, or ban the cores there.
set -euo pipefail

proc="${POSTERN_PROC:-/proc}"
sys="${POSTERN_SYS:-/sys}"
saved="${POSTERN_SAVED:-/run/postern-irq-affinity}"
dry_run=no

usage() {
    sed -n '2,8s/^# \{0,1\}//p' "$0" >&2
    exit 2
}

# 0-2,5 -> one number a line
expand() {
    local part first last
    [[ "$1" =~ ^[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*$ ]] || { echo "not a list of cores: $1" >&2; exit 2; }
    for part in ${1//,/ }; do
        first="${part%-*}" last="${part#*-}"
        seq "$first" "$last"
    done
}

write() { # file value
    if [[ "$dry_run" == yes ]]; then
        echo "would write $2 to $1"
    elif ! { echo "$2" > "$1"; } 2>/dev/null; then
        echo "cannot move $1: the kernel refused" >&2
        return 1
    fi
}

apply() {
    local hot online rest irq list target
    hot="$(expand "$1")"
    online="$(expand "$(cat "$sys/devices/system/cpu/online")")"
    rest="$(comm -23 <(sort <<< "$online") <(sort <<< "$hot") | sort -n | paste -sd,)"
    [[ -n "$rest" ]] || { echo "cores $1 are all there are: none is left for interrupts" >&2; exit 1; }
    [[ "$dry_run" == yes || -e "$saved" ]] || : > "$saved"
    for irq in "$proc"/irq/[0-9]*; do
        list="$irq/smp_affinity_list"
        [[ -r "$list" ]] || continue
        target="$(comm -12 <(expand "$(cat "$list")" | sort) <(sort <<< "$hot"))"
        [[ -n "$target" ]] || continue
        # The first value found is the one to go back to, however often this runs.
        if [[ "$dry_run" == no ]] && ! grep -q "^$irq " "$saved"; then
            echo "$irq $(cat "$list")" >> "$saved"
        fi
        write "$list" "$rest" || true
    done
}

undo() {
    local irq list
    [[ -e "$saved" ]] || { echo "nothing to undo: $saved is not there" >&2; exit 1; }
    while read -r irq list; do
        [[ -e "$irq" ]] || continue
        write "$irq/smp_affinity_list" "$list" || true
    done < "$saved"
    [[ "$dry_run" == yes ]] || rm "$saved"
}

args=()
for arg in "$@"; do
    case "$arg" in
        --dry-run) dry_run=yes ;;
        -*) usage ;;
        *) args+=("$arg") ;;
    esac
done
case "${args[0]:-}" in
    apply) [[ "${#args[@]}" == 2 ]] || usage; apply "${args[1]}" ;;
    undo) [[ "${#args[@]}" == 1 ]] || usage; undo ;;
    *) usage ;;
esac
