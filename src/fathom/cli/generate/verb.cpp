#include "fathom/cli/generate/request.h"
#include "fathom/cli/verbs.h"

namespace fathom {

Verb verb_generate() {
  Verb verb{"generate", "text from a trained model", 70};
  verb.check = [](const Arguments& a) { return parse_generate(a).has_value(); };
  return verb;
}

}  // namespace fathom
