# Succeed if the NFS server serves its export and the volume takes changes; bash.
#
# The port is open even if the export failed. So this sends one request of NFSv4.0: the root, then the entry EXPORT_NAME
# in it, then the type of that. Real clients such as libnfs register themselves first. The server would write each of them
# to the volume and, after a restart, wait for it during the whole grace period.
set -eu
call="00000001 00000000 00000002 000186a3 00000004 00000001" # number, call, RPC version 2, NFS, version 4, COMPOUND
user="00000001 00000014 00000000 00000000 00000000 00000000 00000000 00000000 00000000" # AUTH_SYS, no verifier
name=$(printf %s "$EXPORT_NAME" | od -An -v -tx1 | tr -d ' \n')
while ((${#name} % 8)); do name+=00; done
steps="00000000 00000000 00000003 00000018 0000000f $(printf %08x ${#EXPORT_NAME}) $name 00000009 00000001 00000002"
request=$(tr -d ' ' <<<"$call $user $steps")

exec 3<>/dev/tcp/127.0.0.1/2049
printf "$(sed 's/../\\x&/g' <<<"$(printf %08x $((0x80000000 + ${#request} / 2)))$request")" >&3
status=$(head -c 32 <&3 | od -An -tx1 -j28 | tr -d ' ')
[ "$status" = 00000000 ] || { echo "the server answers with status ${status:-none}" >&2; exit 1; }

: >/volume/recovery/probe # needs the volume's device, but no space
