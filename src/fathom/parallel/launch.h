// Who this process is among those that train together, as the environment that a launcher sets says
// it. Torch-free: `fathom` refuses a wrong one before a tensor is made.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>

namespace fathom {

// A variable's value; nothing: it is not set.
using Environment = std::function<std::optional<std::string>(const std::string& name)>;
Environment process_environment();

// Names to the ranks that --nproc starts the descriptors "7,8" of two files in memory, by which
// they meet; and what such a file is called.
inline constexpr char kRanks[] = "FATHOM_RANKS";
inline constexpr char kRanksMemory[] = "fathom-ranks";
// And what that process is to a launcher of its own: handed_on().
inline constexpr char kRanksLaunch[] = "FATHOM_RANKS_LAUNCH";

// What torchrun gives to its ranks, whoever else sets RANK and WORLD_SIZE.
inline constexpr char kTorchrunRun[] = "TORCHELASTIC_RUN_ID";

// Within such a time a launcher has ended the ranks of a machine of which one has failed: torchrun
// looks at them every five seconds.
inline constexpr std::chrono::seconds kEndedByLauncher{12};

struct Launch {
  int rank = 0, size = 1;              // among all; 0 <= rank < size
  int local_rank = 0, local_size = 1;  // among those of this machine
  // Where the ranks meet: at rank 0's machine. Empty and 0: size is 1, or `file` is set.
  std::string address;
  int port = 0;
  // Ranks of one machine that --nproc started meet in this file instead, so that no port is opened
  // for it (a c10d FileStore), and watch one another by the other one (heartbeat.h).
  std::string file, counters;
  // A c10d TCPStore listens at address:port already, the launcher's own, which outlives a start:
  // rank 0 opens none.
  bool store_is_there = false;
  // The launcher's name for what it has started, the same whenever it starts the ranks anew:
  // Slurm's job, torchrun's run (a random one with --standalone). Empty: it gives none. What is
  // said of it here and of restarts is, for ranks of --nproc, of the launcher of what has started
  // them.
  std::string id;
  // How often the launcher has started the ranks anew; torchrun's agents count each for itself.
  int restarts = 0;
  bool may_restart = false;   // it does, where one fails
  bool ends_all = false;      // it ends the others within seconds, where one fails
  bool leaves_alone = false;  // ranks go on where it is killed, and nobody would end them
  int parent = 0;             // whose child this process was when it began
  std::string error_file;     // where it reads why this rank failed; empty: it does not
  bool is_bound = false;      // the launcher has given each local rank processors of its own
  // OMP_NUM_THREADS is torchrun's own word, who says 1 where the user has said nothing.
  bool has_default_threads = false;
  std::string by;  // that launcher: "torchrun", "mpirun", "srun", else "--nproc"; empty: nobody

  bool is_first() const { return rank == 0; }
  bool is_local() const { return local_size == size; }  // all are on one machine
};

// By torchrun's variables (RANK, WORLD_SIZE, LOCAL_RANK, ...; whoever sets them), else Open MPI's
// (OMPI_COMM_WORLD_*), Slurm's of a step (SLURM_PROCID, SLURM_STEP_NUM_TASKS, ...) or those of
// MPICH and Intel MPI (PMI_*, MPI_LOCAL*). MASTER_ADDR and MASTER_PORT, where set, win over what
// follows from the others. Throws Error(kUsage), which names the variable, for one that is missing
// or makes no sense.
Launch launch_of(const Environment& environment);

// The value of kRanksLaunch for ranks that this process starts; launch_of() takes by, id, restarts,
// may_restart and leaves_alone from it.
std::string handed_on(const Launch& around);

// How long a second INT, TERM or QUIT is the first one's echo: torchrun passes on what a terminal
// has sent to it and its ranks alike, Slurm sends TERM twice. 0: each is meant.
std::chrono::seconds echo_of(const Launch& launch);

// Launch::file and counters, of what kRanks says. Throws Error(kUsage) where this process was not
// given such files, and Error where there is no /proc to find them.
void set_meeting_files(const std::string& descriptors, Launch& launch);

// What a user should know of a machine's ranks that share so few processors; nothing: they have
// enough.
std::optional<std::string> crowding_note(const Launch& launch, int processors);

// How long a rank keeps an error to itself which local rank 0 says as well.
std::chrono::seconds patience_with_errors(const Launch& launch);

// The first name of a list as Slurm writes it, "rack[01-03,7]-n[1-2],other" -> "rack01-n1". Throws
// Error(kUsage) for what is none.
std::string first_node(const std::string& list);
// Of "4(x2),3": how many tasks the node of that number has. The same.
int tasks_of_node(const std::string& tasks_per_node, int node);

}  // namespace fathom
