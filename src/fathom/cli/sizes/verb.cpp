#include "fathom/cli/sizes/request.h"
#include "fathom/cli/verbs.h"

namespace fathom {

Verb verb_sizes() {
  Verb verb{"sizes", "how large the carry and what blocks add become, layer by layer", 84};
  verb.check = [](const Arguments& a) { return parse_sizes(a).has_value(); };
  return verb;
}

}  // namespace fathom
