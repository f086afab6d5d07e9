#include "fathom/cli/loops/request.h"
#include "fathom/cli/verbs.h"

namespace fathom {

Verb verb_loops() {
  Verb verb{"loops", "where a model's loops take its tokens, and whether they settle", 82};
  verb.check = [](const Arguments& a) { return parse_loops(a).has_value(); };
  return verb;
}

}  // namespace fathom
