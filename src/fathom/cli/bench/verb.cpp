#include "fathom/cli/bench/request.h"
#include "fathom/cli/verbs.h"

namespace fathom {

Verb verb_bench() {
  Verb verb{"bench", "how fast this machine trains and decodes", 90};
  verb.check = [](const Arguments& a) { return parse_bench(a).has_value(); };
  return verb;
}

}  // namespace fathom
