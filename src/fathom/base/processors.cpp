#include "fathom/base/processors.h"

#include <sched.h>

namespace fathom {

int allowed_processors() {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  return sched_getaffinity(0, sizeof mask, &mask) == 0 ? CPU_COUNT(&mask) : 1;
}

}  // namespace fathom
