#!/bin/sh
# Add a file to the pull request as a comment, or replace the comment that starts with the same mark.
#   comment.sh FILE    reads GITHUB_REPOSITORY and PULL_REQUEST (its number); gh reads GH_TOKEN
set -eu
file=$1
comments="repos/$GITHUB_REPOSITORY/issues/$PULL_REQUEST/comments"
mark=$(head -n 1 "$file")
case $mark in
"<!-- "*" -->") ;;
*) echo "$file does not start with a mark, so it is not added" >&2 && exit 1 ;; # an empty mark matches every comment
esac
# GitHub allows 65536 characters; the artifact of the run contains the whole text.
body=$(mktemp)
trap 'rm -f "$body"' EXIT
if [ "$(wc -c <"$file")" -le 60000 ]; then
  cat "$file" >"$body"
else
  head -c 60000 "$file" | sed '$d' >"$body" # removes the last line, which may be cut inside a code span
  printf '\n\nThe rest is in the artifact of this run.\n' >>"$body"
fi
ours=".[] | select(.user.type == \"Bot\") | select(.body | startswith(\"$mark\")) | .id"
id=$(gh api --paginate "$comments" --jq "$ours" | head -n 1)
if [ -n "$id" ]; then
  gh api --method PATCH "repos/$GITHUB_REPOSITORY/issues/comments/$id" --field "body=@$body" >/dev/null
else
  gh api --method POST "$comments" --field "body=@$body" >/dev/null
fi
