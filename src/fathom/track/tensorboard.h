// Event files of TensorBoard (`tensorboard --logdir runs`): a run's numbers as scalars. The run
// store keeps them in full; this is a copy for those who look there.
//
//   TensorBoardWriter board(run_folder(name) + "/tensorboard");
//   board.add(step, values);
//
// A file is a sequence of TFRecords: length (8 bytes), masked CRC-32C of the length, data, masked
// CRC-32C of the data, all little-endian. The data is one protobuf message `Event`
// (tensorflow/core/util/event.proto), of which three forms are written: the file's version, the
// start of a session, a summary of scalars. They are encoded by hand, which is less than a
// dependency on protobuf.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "fathom/base/span.h"
#include "fathom/track/run_store.h"

namespace fathom {

double wall_clock();  // seconds since 1970, UTC

// CRC-32C (Castagnoli), as in iSCSI (RFC 3720, appendix B.4); not yet masked.
uint32_t crc32c(std::string_view bytes);

// Belongs to one thread. Everything throws Error(kFailure) that names the file.
class TensorBoardWriter {
 public:
  // Begins a new file, `events.out.tfevents.<seconds>.<host>.<pid>`, in `folder`, which is created
  // if need be. TensorBoard reads the files of a folder in the order of their names, as one run:
  // the seconds are those of `wall_time`, or later, so that the new file is the last.
  //
  // `first_step`: the run goes on, or starts again, and this is the first step that add() will be
  // given. TensorBoard then forgets what the earlier files have at this step and later ones.
  // Nothing: a new run; should the folder have event files all the same, it starts again at step 0.
  explicit TensorBoardWriter(const std::string& folder, std::optional<int64_t> first_step = {},
                             double wall_time = wall_clock());
  ~TensorBoardWriter();
  TensorBoardWriter(TensorBoardWriter&&) noexcept;
  TensorBoardWriter& operator=(TensorBoardWriter&&) noexcept;

  // Appends one record with all of the values; none for no values. They are stored as float32, NaN
  // and infinities included. Steps of a metric must ascend: TensorBoard takes a step that is not
  // above the one before for the sign of a restart. What add() has returned from survives a kill of
  // the process; a kill inside it leaves at most an incomplete record at the end, which readers
  // pass over. When it throws, the file ends where it did before.
  void add(int64_t step, Span<const MetricValue> values, double wall_time = wall_clock());

  const std::string& path() const;
  // The file is still where it was made: neither it nor its folder has been removed.
  bool is_there() const;

 private:
  struct File;
  std::unique_ptr<File> file_;
};

}  // namespace fathom
