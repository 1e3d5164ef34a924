# Check the volume, create its folders and become the NFS server.
#
# EXPORT_NAME: name under which clients mount the volume   EXPORT_USER: uid and gid of all files
# ALLOW_DIRECTORY: "true" accepts a directory of a larger file system, and any kind of file system
set -eu

# The update shows the end of the log, at most 300 letters.
refuse() {
    echo "$1. Fix: $2" >&2
    exit 1
}

# A file handle is a number within a file system. Clients can guess those of files that are not exported.
set -- $(awk '$5 == "/volume" { root = $4; sub(/.* - /, ""); type = $1 } END { print root, type }' /proc/self/mountinfo)
[ $# = 2 ] || refuse "no volume is mounted at /volume" "mount one"
if [ "${ALLOW_DIRECTORY:-}" != true ]; then
    [ "$1" = / ] || refuse "its volume is the directory $1 of a file system, which clients could then reach" \
        "use a block device, or \`pulumi config set --path sharedVolume.allowDirectory true\`"
    # The handles of other file systems contain the number of the device, which differs from node to node.
    case $2 in
    btrfs | ext[234]) ;;
    *) refuse "its volume has the file system $2, and clients would lose their files when the server moves" \
        "use a storage class with ext4" ;;
    esac
fi

mkdir -p /volume/export /volume/recovery
chmod 0700 /volume/recovery
chmod 0770 /volume/export
# Files of another user are there if the setting has changed. The startup probe interrupts the change of very many: the
# next start goes on with the rest, because the folder itself comes last.
owner=$EXPORT_USER:$EXPORT_USER
[ "$(stat -c %u:%g /volume/export)" = "$owner" ] ||
    find /volume/export -depth ! '(' -user "$EXPORT_USER" -group "$EXPORT_USER" ')' -exec chown -h "$owner" {} +

# The root of what clients see has the volume as its only entry. They cannot list it, so they have to know the name. It is
# a file system in memory, because the handle of the root shows the number that all handles of its file system contain.
mkdir -p "/exports/$EXPORT_NAME" /run/ganesha
chmod 0711 /exports
sed "s/EXPORT_NAME/$EXPORT_NAME/" /etc/ganesha/ganesha.conf >/run/ganesha/ganesha.conf
exec ganesha.nfsd -F -f /run/ganesha/ganesha.conf -L STDOUT -p /run/ganesha/ganesha.pid
