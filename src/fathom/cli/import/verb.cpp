#include "fathom/cli/import/request.h"
#include "fathom/cli/verbs.h"

namespace fathom {
namespace {

int run_import(const Arguments& arguments) {
  const std::optional<ImportRequest> request = parse_import(arguments);
  if (!request) return 0;
  import_run(*request);
  return 0;
}

}  // namespace

Verb verb_import() {
  return {"import", "a run of a GPT-2 in Hugging Face's layout", 110, run_import};
}

}  // namespace fathom
