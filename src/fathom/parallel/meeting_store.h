// The c10d store by which ranks meet, as it is found: opened by rank 0, or by the launcher, or a
// file; or something else that has taken its port. Seen by the files that speak by c10d alone.
#pragma once

#ifdef USE_C10D_GLOO
#include <memory>
#include <string>
#include <torch/csrc/distributed/c10d/Store.hpp>

#include "fathom/parallel/heartbeat.h"
#include "fathom/parallel/launch_reach.h"
#include "fathom/parallel/ranks.h"

namespace fathom {

// The launcher's own store may be one of another version than libtorch here, which ends connections
// that do not begin as its own do. All ranks see that, and meet at another port of that machine.
// Throws Error where it does not answer at all, which says nothing of its version.
Launch beside_foreign_store(Launch launch, const RanksOptions& options);

// The store when all are there, with keys of their meeting's own. Throws Error: who is not there,
// what does not answer, what is no such store; rank 0, who opens it, where it cannot listen.
struct MeetingStore {
  c10::intrusive_ptr<c10d::Store> store;
  std::string meeting;  // its name: meeting.h
};
MeetingStore meeting_store(const Launch& launch, const RanksOptions& options, Wait& wait);

// Numbers of a meeting, by a connection of their own: the ranks' may wait in it for long.
std::unique_ptr<Counters> counters_in_store(const Launch& launch, const std::string& meeting);

// Of what the library says, which goes on with a trace of calls.
std::string first_line_of(const std::string& text);

}  // namespace fathom
#endif
