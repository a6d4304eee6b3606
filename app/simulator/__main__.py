"""`python -m app.simulator`: the simulator as a program of its own."""

from app.simulator.command import simulator

if __name__ == "__main__":
    simulator(prog_name="simulator")
