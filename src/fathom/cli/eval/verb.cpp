#include "fathom/cli/eval/request.h"
#include "fathom/cli/verbs.h"

namespace fathom {

Verb verb_eval() {
  Verb verb{"eval", "loss of a trained model on a whole split", 60};
  verb.check = [](const Arguments& a) { return parse_eval(a).has_value(); };
  return verb;
}

}  // namespace fathom
