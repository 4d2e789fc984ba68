#!/bin/sh
# The compiler for forge while mutants are tested: what was asked before is answered from $SOLC_MEMO. Forge asks for its
# version three times a run and for every ABI whenever tests are chosen by path; nothing of it changes between mutants.
set -eu
question=$(mktemp)
trap 'rm -f "$question"' EXIT
case "$*" in
  *--version*) echo "--version" > "$question" ;;
  *) cat > "$question" ;;
esac
answer="$SOLC_MEMO/$(sha256sum < "$question" | cut -c 1-64)"
if [ ! -f "$answer" ]; then
  node "$(dirname "$0")/../solc.js" "$@" < "$question" > "$answer.$$"
  mv "$answer.$$" "$answer"
fi
cat "$answer"
