#include "fathom/model/walk/graph.h"

#include <ATen/autocast_mode.h>

namespace fathom {

UnrememberedCasts::UnrememberedCasts() : before_(at::autocast::is_autocast_cache_enabled()) {
  at::autocast::set_autocast_cache_enabled(false);
}

UnrememberedCasts::~UnrememberedCasts() {
  at::autocast::set_autocast_cache_enabled(before_);
}

}  // namespace fathom
