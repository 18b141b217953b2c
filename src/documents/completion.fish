# Completions for fish. MARK
function __binfmt_dispatch_complete
    set -l words (commandline --current-process --tokenize --cut-at-cursor) (commandline --current-token)
    set -l candidates (binfmt-dispatch helper complete (math (count $words) - 1) -- $words 2>/dev/null)
    if set -q candidates[1]
        printf '%s\n' $candidates
    else
        __fish_complete_path (commandline --current-token)
    end
end
complete --command binfmt-dispatch --no-files --keep-order --arguments '(__binfmt_dispatch_complete)'
