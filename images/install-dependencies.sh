#!/bin/sh
# Make /opt/venv with the packages that uv.lock names for the extras given; both Dockerfiles run it.
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

install() { uv pip install --quiet --python /opt/venv --compile-bytecode "$@"; }

EXTRAS=$*
if [ "$TORCH_BACKEND" = locked ]; then
  uv venv --quiet /opt/venv
  export_lock > requirements.txt
else
  [ "$TORCH_BACKEND" = base ] && site=--system-site-packages || site=
  uv venv --quiet $site /opt/venv
  export_lock --prune torch > requirements.txt
fi
# An index of your own is honoured, which `uv sync` does not do: the lock holds whole addresses.
install --no-deps --require-hashes -r requirements.txt

if [ "$TORCH_BACKEND" != locked ] && [ "$TORCH_BACKEND" != base ]; then
  export_lock --no-hashes > constraints.txt
  torch=$(sed -n 's/^\(torch==[^ ;]*\).*/\1/p' constraints.txt)
  if [ -n "$torch" ]; then
    install --torch-backend "$TORCH_BACKEND" --constraints constraints.txt "$torch"
  fi
fi

find /opt/venv -type d -name tests -prune -exec rm -r {} +

# The project itself lies beside the packages, so that a new version of it is a layer of 3 MB.
echo /opt/scaling > "$(/opt/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/scaling.pth"
