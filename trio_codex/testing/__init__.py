"""The testing kit: Hypothesis strategies, scripted peers, fault injection, fixtures. Nothing outside of it imports Hypothesis."""
