#include "fathom/cli/train/request.h"
#include "fathom/cli/verbs.h"

namespace fathom {

Verb verb_train() {
  Verb verb{"train", "train a model", 50};
  verb.check = [](const Arguments& a) { return parse_train(a).has_value(); };
  return verb;
}

}  // namespace fathom
