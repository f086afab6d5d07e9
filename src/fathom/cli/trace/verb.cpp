#include "fathom/cli/trace/request.h"
#include "fathom/cli/verbs.h"

namespace fathom {

Verb verb_trace() {
  Verb verb{"trace", "which layer answered each token of a text", 80};
  verb.check = [](const Arguments& a) { return parse_trace(a).has_value(); };
  return verb;
}

}  // namespace fathom
