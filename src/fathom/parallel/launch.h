// Which of a run's processes this one is.
#pragma once

#include <string>

namespace fathom {

struct Launch {
  int rank = 0, size = 1;              // of all processes
  int local_rank = 0, local_size = 1;  // of those on this machine
  std::string address;                 // of the machine of rank 0
  int port = 0;                        // where rank 0 listens
  std::string by;                      // who started them, for messages
};

}  // namespace fathom
