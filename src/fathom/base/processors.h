// How many processors this process may use.
#pragma once

namespace fathom {

// Of its affinity mask; 1 if that cannot be read.
int allowed_processors();

}  // namespace fathom
