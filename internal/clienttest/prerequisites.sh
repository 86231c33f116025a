#!/usr/bin/env bash
# Installs what the client sessions drive, on Debian 12, and only what is missing.
# Fails when something can't be installed and CI is set; otherwise says so, and the sessions that need it skip.
set -euo pipefail
cd "$(dirname "$0")"

# Debian's build of the AWS command line is 2.9; an older or other one on the PATH would test something else.
declare -A package=(
	[/usr/bin/dcmdump]=dcmtk [/usr/bin/dciodvfy]=dicom3tools [/usr/sbin/Orthanc]=orthanc [/usr/share/orthanc/plugins/libOrthancDicomWeb.so]=orthanc-dicomweb
	[/usr/bin/aws]=awscli [/usr/bin/rclone]=rclone [/usr/bin/s3cmd]=s3cmd [/usr/bin/node]=nodejs [/usr/bin/chromium]=chromium [/usr/bin/curl]=curl
)
missing=()
for file in "${!package[@]}"; do
	[ -e "$file" ] || missing+=("${package[$file]}")
done
command -v npm >/dev/null || missing+=(npm)

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

if [ ${#missing[@]} -gt 0 ]; then
	echo "installing: ${missing[*]}"
	export DEBIAN_FRONTEND=noninteractive
	if ! { as_root apt-get update -q -q && as_root apt-get install -q -y --no-install-recommends "${missing[@]}" >/dev/null; }; then
		echo "could not install: ${missing[*]}" >&2
		[ -z "${CI:-}" ] || exit 1
	fi
fi

# Exact versions from the lock file; again only when it changed.
if ! cmp -s package-lock.json node_modules/.lock-installed; then
	if npm ci --no-audit --no-fund --loglevel=error; then
		cp package-lock.json node_modules/.lock-installed
	else
		echo "could not install the npm clients" >&2
		[ -z "${CI:-}" ] || exit 1
	fi
fi
