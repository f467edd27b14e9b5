#!/bin/sh
# What both Dockerfiles install: `dependencies.sh list EXTRA...`, then `dependencies.sh install`.
#
# `list` writes what uv.lock names for the extras; `install` makes /opt/venv from these lists alone, so
# that nothing is installed anew where pyproject.toml has changed in other ways.
#
# TORCH_BACKEND says where PyTorch comes from, where an extra needs it:
#   locked          the wheels that uv.lock names: with CUDA, several GB
#   cpu, cu130 ...  PyTorch's own index for that backend; same version, without hashes
#   base            the base image has it
set -eu

export_lock() {
  for extra in $EXTRAS; do set -- "$@" --extra "$extra"; done
  uv export --quiet --frozen --no-dev --no-emit-project --no-header --no-annotate "$@"
}

list() {
  EXTRAS=$*
  case "$TORCH_BACKEND" in
    locked) export_lock > packages.txt ;;
    *) export_lock --prune torch > packages.txt ;;
  esac
  case "$TORCH_BACKEND" in
    locked | base) : > torch.txt ;;
    *)
      export_lock --no-hashes > constraints.txt
      sed -n 's/^\(torch==[^ ;]*\).*/\1/p' constraints.txt > torch.txt
      ;;
  esac
}

install_packages() { uv pip install --quiet --python /opt/venv --compile-bytecode "$@"; }

install() {
  case "$TORCH_BACKEND" in
    base) uv venv --quiet --system-site-packages /opt/venv ;;
    *) uv venv --quiet /opt/venv ;;
  esac
  # An index of your own is honoured, which `uv sync` does not do: the lock holds whole addresses.
  install_packages --no-deps --require-hashes -r packages.txt
  if [ -s torch.txt ]; then
    install_packages --torch-backend "$TORCH_BACKEND" --constraints constraints.txt -r torch.txt
  fi
  find /opt/venv -type d -name tests -prune -exec rm -r {} +
  # The project itself lies beside the packages, so that a new version of it is a layer of 4 MB.
  packages=$(/opt/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  echo /opt/scaling > "$packages/scaling.pth"
}

"$@"
