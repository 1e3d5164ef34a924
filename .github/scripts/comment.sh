#!/bin/sh
# Put a file on the pull request as one comment, in place of the one that begins with the same mark.
#   comment.sh FILE    reads GITHUB_REPOSITORY and PULL_REQUEST (its number); gh reads GH_TOKEN
set -eu
file=$1
comments="repos/$GITHUB_REPOSITORY/issues/$PULL_REQUEST/comments"
mark=$(head -n 1 "$file")
case $mark in
"<!-- "*" -->") ;;
*) echo "$file does not begin with a mark, so no comment is made of it" >&2 && exit 1 ;; # any comment begins with nothing
esac
# GitHub takes 65536 characters; what is longer is in the run's artifact.
body=$(mktemp)
trap 'rm -f "$body"' EXIT
if [ "$(wc -c <"$file")" -le 60000 ]; then
  cat "$file" >"$body"
else
  head -c 60000 "$file" | sed '$d' >"$body" # a line cut in half could end outside of its code span
  printf '\n\nThe rest is in the artifact of this run.\n' >>"$body"
fi
ours=".[] | select(.user.type == \"Bot\") | select(.body | startswith(\"$mark\")) | .id"
id=$(gh api --paginate "$comments" --jq "$ours" | head -n 1)
if [ -n "$id" ]; then
  gh api --method PATCH "repos/$GITHUB_REPOSITORY/issues/comments/$id" --field "body=@$body" >/dev/null
else
  gh api --method POST "$comments" --field "body=@$body" >/dev/null
fi
