# The loops' recipe on Shakespeare's characters: 6 layers, 384 wide, of which 2, 3 and 4 run up to 20
# times each, one after the other.
# On a processor add: --block_size=64 --n_embd=128 --n_head=4 --max_loops=7 --max_iters=1500
wandb_log = False
wandb_project = 'shakespeare-looped'
wandb_run_name = 'looped-baby-gpt'

dataset = 'shakespeare_char'
batch_size = 12
block_size = 256
gradient_accumulation_steps = 1

n_layer = 6
n_head = 6
n_embd = 384
dropout = 0.0

loop_groups = [[2], [3], [4]]
max_loops = 20
loop_sampling_strategy = 'uniform'
concatenate_initial_representation = True
loop_noise_scale = 0.0
loops_backprop_depth = None
automatic_loop_exit = False

learning_rate = 1e-4
min_lr = 1e-5
beta2 = 0.99
max_iters = 5000
lr_decay_iters = 5000
warmup_iters = 100

eval_interval = 250
eval_iters = 50
log_interval = 10
