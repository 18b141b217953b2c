#compdef binfmt-dispatch
# Completions for zsh. MARK
local line
local -a candidates
for line in "${(@f)$("${(Q)words[1]}" helper complete $((CURRENT - 1)) -- "${(@Q)words}" 2>/dev/null)}"; do
    [[ -z $line ]] || candidates+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
done
if (($#candidates)); then
    _describe -V binfmt-dispatch candidates
else
    _files
fi
