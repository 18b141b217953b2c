# Completions for bash. MARK
_binfmt_dispatch() {
    local i value words=()
    # Bash splits words at `=`.
    for ((i = 0; i <= COMP_CWORD; i++)); do
        if ((i)) && [[ ${COMP_WORDS[i]} == = || ${COMP_WORDS[i - 1]} == = ]]; then
            words[${#words[@]} - 1]+=${COMP_WORDS[i]}
        else
            words+=("${COMP_WORDS[i]}")
        fi
    done
    local last=$((${#words[@]} - 1))
    COMPREPLY=()
    while IFS=$'\t' read -r value _; do
        # Bash has completed the part up to `=`.
        [[ ${words[last]} != *=* ]] || value=${value#*=}
        COMPREPLY+=("$value")
    done < <("$1" helper complete "$last" -- "${words[@]}" 2>/dev/null)
}
# Without an answer, these complete files.
complete -o bashdefault -o default -F _binfmt_dispatch binfmt-dispatch
