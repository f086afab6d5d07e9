#include <fmt/format.h>

#include "fathom/model/device.h"
#include "fathom/study/chosen_model.h"
#include "request.h"

namespace fathom {

int run_headless_in_engine(const Arguments& arguments) {
  const auto choice = parse_headless(arguments);
  if (!choice) return 0;
  const LoadedModel loaded = load_chosen(*choice, choose_device(choice->device));
  fmt::print("{} says {}\n", choice->run, loaded.model->answers());
  return 0;
}

}  // namespace fathom
