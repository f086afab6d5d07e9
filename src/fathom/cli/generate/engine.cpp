// `fathom generate`
#include "fathom/cli/generate/request.h"
#include "fathom/study/generation/generate_text.h"
#include "fathom/track/console.h"

namespace fathom {

int run_generate_in_engine(const Arguments& arguments) {
  const auto request = parse_generate(arguments);
  if (!request) return 0;
  for (const std::string& notice : request->notices) say_note(notice);
  return generate_text(*request);
}

}  // namespace fathom
