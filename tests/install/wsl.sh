# What each section of docs/wsl.md needs, as in questions.sh: an entry as WSL makes it, with the
# interpreter that is there in WSL alone.
wsl() { printf ':WSLInterop:M::MZ::/init:P' >$REGISTRY/register || exit 96; }
systemctl() { [ "$*" = 'restart systemd-binfmt' ] && /usr/lib/systemd/systemd-binfmt; }

## Programs for Windows
wsl

## Docker Desktop
wsl; install arm64
