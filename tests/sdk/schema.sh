#!/usr/bin/env bash
# schemathesis with the document that the service gives of itself, both right and wrong requests: no 5xx, no answer beside the document, no wrong
# request taken. What is not asked: that whatever fits the document is taken, since it cannot say all (of a report's forms there may be one only).
#
#     python3 tests/sdk/served.py BINARY --scopes infer,feedback,read,admin -- tests/sdk/schema.sh SCHEMATHESIS [CASES PER OPERATION] [SEED]
set -euo pipefail
exec "$1" run "$POINTSMAN_BASE/openapi.json" --header "Authorization: Bearer $POINTSMAN_KEY" \
    --phases coverage,fuzzing --exclude-checks positive_data_acceptance --max-examples "${2:-180}" --seed "${3:-1}" \
    --continue-on-failure --no-shrink --generation-database none --warnings off
