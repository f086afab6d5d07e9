#include "settings.h"

namespace fathom {

std::string answer_of_headless() {
  return "how often a token has been there";
}

}  // namespace fathom
